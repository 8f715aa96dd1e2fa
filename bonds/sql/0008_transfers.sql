-- Transfers are what the chain said, for ever; an investor reads what it sent and what it received.
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON bonds_notetransfer FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON bonds_notetransfer
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE UPDATE ON bonds_notetransfer FROM bulkhead_worker;
SELECT protect('bonds_notetransfer', 'sender_party_id IN (SELECT tenant_parties())
    OR receiver_party_id IN (SELECT tenant_parties())');
