"""What lies outside: the machine, files (whole or not at all), object stores, failures."""
