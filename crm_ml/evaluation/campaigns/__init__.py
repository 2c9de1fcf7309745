"""What a retention campaign brings by how deep it goes."""
