-- What the chain said of an escrow stays as it was said; everyone reads what is published.
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON bonds_escrowreading FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON bonds_escrowreading
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE UPDATE ON bonds_escrowreading FROM bulkhead_worker;
SELECT protect('bonds_escrowreading', 'series_id IN (SELECT id FROM bonds_series)');
