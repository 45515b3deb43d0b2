"""What the machine offers: files, locks."""
