"""The nightly job: scores of everyone, published whole or not at all, and judged once their horizon has passed."""
