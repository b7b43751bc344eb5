"""What everything else stands on: errors, ids, registries, transactions, fault points. Knows nothing of CRM or HTTP."""
