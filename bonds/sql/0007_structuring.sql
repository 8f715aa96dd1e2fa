-- Structuring: what the database refuses by itself, and who sees what.

-- A document is the bytes of its hash; nothing of it, of a pack or of a term sheet changes.
ALTER TABLE bonds_document ADD CONSTRAINT document_matches_hash CHECK (sha256 = encode(sha256(content), 'hex'));
ALTER TABLE bonds_document ADD CONSTRAINT document_is_no_archive CHECK (length(content) BETWEEN 1 AND 4194304);
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['document', 'seriesdocument', 'termsheet'] LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON bonds_%s
            FOR EACH ROW EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON bonds_%s
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('REVOKE UPDATE ON bonds_%s FROM bulkhead_worker', name);
    END LOOP;
END $$;

-- A pack is what the terms say.
CREATE FUNCTION document_is_of_the_terms() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM bonds_series s, jsonb_array_elements(s.terms::jsonb -> 'document_hashes') AS entry
        WHERE s.id = NEW.series_id AND entry ->> 0 = NEW.title AND entry ->> 1 = NEW.sha256)
        OR NEW.document_id IS NOT NULL
        AND NOT EXISTS (SELECT FROM bonds_document d WHERE d.id = NEW.document_id AND d.sha256 = NEW.sha256) THEN
        RAISE EXCEPTION 'document_is_of_the_terms: the terms name no such document' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER document_is_of_the_terms BEFORE INSERT ON bonds_seriesdocument
    FOR EACH ROW EXECUTE FUNCTION document_is_of_the_terms();

-- A draft keeps its code; it is structured only by its approved proposal.
CREATE FUNCTION draft_was_approved() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    IF NEW.code <> OLD.code OR OLD.state <> 'DRAFT' AND (NEW.body, NEW.terms_hash) IS DISTINCT FROM (OLD.body, OLD.terms_hash) THEN
        RAISE EXCEPTION 'draft_is_fixed: only an open draft changes, and never its code' USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.state = 'STRUCTURED' AND NOT EXISTS (
        SELECT FROM intermediary_proposal p WHERE p.id = NEW.proposal_id AND p.kind = 'SERIES' AND p.state = 'APPROVED'
        AND p.body::jsonb ->> 'terms_hash' = NEW.terms_hash) THEN
        RAISE EXCEPTION 'draft_was_approved: no approved proposal says these terms' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER draft_was_approved BEFORE UPDATE ON bonds_seriesdraft
    FOR EACH ROW EXECUTE FUNCTION draft_was_approved();
INSERT INTO intermediary_transition (entity, before, after) VALUES
    ('seriesdraft', 'DRAFT', 'PROPOSED'), ('seriesdraft', 'DRAFT', 'DROPPED'), ('seriesdraft', 'PROPOSED', 'DRAFT'),
    ('seriesdraft', 'PROPOSED', 'STRUCTURED');
CREATE TRIGGER only_listed_transitions BEFORE UPDATE OF state ON bonds_seriesdraft
    FOR EACH ROW EXECUTE FUNCTION only_listed_transitions('seriesdraft');

-- Officers add documents; drafts are theirs alone. What is published of a series is everyone's to read.
GRANT INSERT ON bonds_document TO bulkhead_staff;
SELECT protect('bonds_seriesdocument', 'series_id IN (SELECT id FROM bonds_series)');
SELECT protect('bonds_document', 'id IN (SELECT document_id FROM bonds_seriesdocument)');
SELECT protect('bonds_termsheet', 'series_id IN (SELECT id FROM bonds_series)');
