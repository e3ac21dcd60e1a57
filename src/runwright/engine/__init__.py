"""What makes agents run: fold, decide, perform."""
