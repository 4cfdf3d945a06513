"""Human studies: two-alternative forced choice between clips of the same prompt, from the design to the report."""
