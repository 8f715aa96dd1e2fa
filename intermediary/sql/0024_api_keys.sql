-- API keys: seen by the person whose they are, and by whoever brings the secret; made and revoked, never changed.
SELECT protect('intermediary_apitoken', 'user_id = nullif(current_setting(''bulkhead.user'', true), '''')::int
    OR digest = nullif(current_setting(''bulkhead.api_key'', true), '''')');
GRANT INSERT ON intermediary_apitoken TO bulkhead_portal;
GRANT UPDATE (used_at, revoked_at) ON intermediary_apitoken TO bulkhead_portal;
GRANT UPDATE (revoked_at) ON intermediary_apitoken TO bulkhead_staff;

CREATE FUNCTION api_key_is_fixed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.user_id, NEW.name, NEW.digest, NEW.scopes, NEW.networks, NEW.expires_at)
            IS DISTINCT FROM (OLD.user_id, OLD.name, OLD.digest, OLD.scopes, OLD.networks, OLD.expires_at)
        OR (OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at) THEN
        RAISE EXCEPTION 'api_key_is_fixed: a key is made and revoked, never changed' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER api_key_is_fixed BEFORE UPDATE ON intermediary_apitoken FOR EACH ROW EXECUTE FUNCTION api_key_is_fixed();
