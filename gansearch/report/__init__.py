"""What people read: sections, console, export, HTML, pictures of samples, live progress."""
