-- Pricing rulesets: one exists only behind an approved proposal that says exactly it, and it never changes.
CREATE FUNCTION ruleset_was_approved() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    IF NEW.hash <> encode(sha256(convert_to(NEW.body, 'UTF8')), 'hex') THEN
        RAISE EXCEPTION 'ruleset_matches_hash: the hash is not that of the body' USING ERRCODE = 'check_violation';
    END IF;
    IF NOT EXISTS (
        SELECT FROM intermediary_proposal p WHERE p.id = NEW.proposal_id AND p.kind = 'PRICING_RULES'
        AND p.state = 'APPROVED' AND p.body::jsonb ->> 'ruleset_hash' = NEW.hash
        AND (NEW.body::jsonb ->> 'version')::integer = NEW.version) THEN
        RAISE EXCEPTION 'ruleset_was_approved: no approved proposal says this' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.version <= coalesce((SELECT max(version) FROM bonds_storedruleset), 0) THEN
        RAISE EXCEPTION 'ruleset_is_newest: a later version is in force' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ruleset_was_approved BEFORE INSERT ON bonds_storedruleset
    FOR EACH ROW EXECUTE FUNCTION ruleset_was_approved();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON bonds_storedruleset
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON bonds_storedruleset
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
-- What prices are made by is public.
SELECT protect('bonds_storedruleset', 'true');
