"""What the guard is compared with: one module a peer, imported only in an environment of its own."""
