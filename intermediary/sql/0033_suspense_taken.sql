-- What is kept for a stranger is there to go back: its account cannot go below zero either.
ALTER TABLE intermediary_account ADD CONSTRAINT account_of_strangers_not_overdrawn CHECK (
    balance_base_units >= 0 OR kind <> 'suspense_taken');
