"""The formats that ship, one module each."""
