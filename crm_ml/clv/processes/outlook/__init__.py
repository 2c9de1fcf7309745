"""What lies ahead of a customer with a given history: counts, waiting times, discounted sums, whole histories."""
