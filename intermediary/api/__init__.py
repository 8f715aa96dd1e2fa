"""The API's part of the platform: keys of programs, wishes with a client-made id, pages of rows."""
