"""Pure: which pricing measure says best, before the fact, at what spread public tail risk was sold."""
