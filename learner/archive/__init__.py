"""The archive of all runs: what is in it, how good it is, and the ways in and out. Needs no JAX."""
