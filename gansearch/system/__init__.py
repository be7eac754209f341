"""The system outside: the machine, atomic files, object stores, failures, arithmetic."""
