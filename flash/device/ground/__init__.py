"""What every part of the measuring program stands on: system files, the one error."""
