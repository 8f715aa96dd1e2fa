"""Notes for programs: what is published for everyone, and what is the reader's own."""
