"""In-memory computing: crossbar tiles on a mesh network on chip, FLASH's own target."""
