"""From batches of rows in any order to buckets of customers, each sorted, within bounded memory."""
