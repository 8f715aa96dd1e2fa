-- Rights of the chain's own processes. The poster asks and sends, the approver answers: neither can do the other's part.
GRANT SELECT ON settlement_deployment, settlement_approval, settlement_batch, settlement_batchmovement,
    settlement_chainsender, settlement_chaintransaction, settlement_transactionattempt, settlement_heldcall,
    settlement_chainblock, settlement_chainlog, settlement_housereceipt, settlement_reconciliationrun,
    settlement_reconciliationbreak TO bulkhead_poster, bulkhead_approver;
GRANT INSERT ON settlement_approval, settlement_batch, settlement_batchmovement, settlement_chainsender,
    settlement_chaintransaction, settlement_transactionattempt, settlement_heldcall TO bulkhead_poster;
GRANT UPDATE ON settlement_batch, settlement_batchmovement, settlement_chainsender, settlement_chaintransaction,
    settlement_heldcall TO bulkhead_poster;
GRANT UPDATE (sent_block) ON settlement_transactionattempt TO bulkhead_poster;
GRANT UPDATE (signer, signature, signed_at, refusal) ON settlement_approval TO bulkhead_approver;

-- What is asked for cannot change once asked, and nothing is born signed.
CREATE FUNCTION approval_is_asked_then_answered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.signature <> '' OR NEW.refusal IS NOT NULL THEN
            RAISE EXCEPTION 'approval_starts_unanswered' USING ERRCODE = 'check_violation';
        END IF;
    ELSE
        IF (NEW.id, NEW.kind, NEW.body, NEW.instruction_id)
            IS DISTINCT FROM (OLD.id, OLD.kind, OLD.body, OLD.instruction_id) THEN
            RAISE EXCEPTION 'approval_is_fixed: an altered request is a new one' USING ERRCODE = 'restrict_violation';
        END IF;
        IF OLD.signature <> '' OR OLD.refusal IS NOT NULL THEN
            RAISE EXCEPTION 'approval_is_answered_once' USING ERRCODE = 'restrict_violation';
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER approval_is_asked_then_answered BEFORE INSERT OR UPDATE ON settlement_approval
    FOR EACH ROW EXECUTE FUNCTION approval_is_asked_then_answered();

-- A movement whose vault was not ready for its number is packed again.
INSERT INTO intermediary_transition (entity, before, after) VALUES ('chaininstruction', 'BATCHED', 'DRAFT');

-- Anyone may see how far the chain is, that it agrees with the ledger, and where the contracts are.
GRANT SELECT ON settlement_deployment, settlement_chainblock, settlement_reconciliationrun TO bulkhead_portal;
SELECT protect('settlement_reconciliationbreak', 'cell_id IN (SELECT tenant_cells())');
SELECT protect('settlement_chainlog', 'cell_id IN (SELECT tenant_cells())');
