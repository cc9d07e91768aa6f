"""Libraries compiled by TVM, here and on boards."""
