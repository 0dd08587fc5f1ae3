"""How the sums are done: precision, compiled or not, within the memory, the same every time."""
