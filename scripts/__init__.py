"""Installation and checks, run by the Makefile under whatever Python the machine has."""
