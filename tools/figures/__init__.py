"""What tools/bench does: measure, describe the machine, write a table, draw charts."""
