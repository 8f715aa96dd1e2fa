DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['journalentry', 'posting', 'auditrecord', 'termsversion', 'callevent', 'defaultevent',
        'layerloss', 'recoveryreceipt', 'closeoutslice', 'valuation', 'mark', 'event', 'uncoveredshare'] LOOP
        EXECUTE format('DROP TRIGGER append_only ON intermediary_%s', name);
        EXECUTE format('DROP TRIGGER append_only_truncate ON intermediary_%s', name);
    END LOOP;
END $$;
DROP FUNCTION refuse_change();
DROP TRIGGER entry_balances ON intermediary_posting;
DROP TRIGGER entry_balances ON intermediary_journalentry;
DROP FUNCTION entry_balances();
DROP TRIGGER account_starts_empty ON intermediary_account;
DROP FUNCTION account_starts_empty();
DROP TRIGGER posting_moves_balance ON intermediary_posting;
DROP FUNCTION posting_moves_balance();
ALTER TABLE intermediary_account DROP CONSTRAINT account_not_overdrawn;
ALTER TABLE intermediary_posting DROP CONSTRAINT posting_moves_something, DROP CONSTRAINT posting_account_same_asset,
    DROP CONSTRAINT posting_entry_same_cell, DROP CONSTRAINT posting_account_same_cell;
ALTER TABLE intermediary_journalentry DROP CONSTRAINT entry_has_two_lines, DROP CONSTRAINT entry_in_cell;
ALTER TABLE intermediary_account DROP CONSTRAINT account_of_asset, DROP CONSTRAINT account_in_cell;
