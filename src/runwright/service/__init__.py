"""What a caller can ask for, one file per noun. Server, studio and CLI call these functions."""
