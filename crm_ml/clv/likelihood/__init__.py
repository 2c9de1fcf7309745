"""What the likelihoods share: compressed data, stable terms, and the search for the maximum."""
