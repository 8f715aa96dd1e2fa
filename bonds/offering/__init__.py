"""From terms to notes in investors' hands: structure, book, allocation, issue."""
