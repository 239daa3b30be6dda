"""An emulator of AWS, ministack, to which tests deploy the real template with sam."""
