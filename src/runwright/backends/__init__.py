"""Optional outside worlds, one file each."""
