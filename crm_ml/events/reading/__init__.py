"""What a shop hands in: made scannable, held to the contract, read once."""
