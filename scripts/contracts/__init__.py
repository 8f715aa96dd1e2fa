"""What looks at the contracts from outside: slither, mutants, a symbolic check. Their own tests are forge's."""
