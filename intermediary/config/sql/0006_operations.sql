-- Every process says itself that it lives; the chain's processes have logins of their own.
GRANT SELECT, INSERT, UPDATE ON config_processreport TO bulkhead_poster, bulkhead_approver;

-- Who has read an alarm is written by the officer who has, under an officer's role, and stays as written.
REVOKE INSERT, UPDATE ON config_alarmacknowledgement FROM bulkhead_worker;
GRANT INSERT ON config_alarmacknowledgement TO bulkhead_staff;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON config_alarmacknowledgement
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON config_alarmacknowledgement
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- An alarm that was cleared is history; an open one keeps what it is about and since when.
CREATE FUNCTION alarm_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'append_only: an alarm stays' USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.cleared_at IS NOT NULL OR (NEW.id, NEW.rule, NEW.subject, NEW.raised_at)
        IS DISTINCT FROM (OLD.id, OLD.rule, OLD.subject, OLD.raised_at) THEN
        RAISE EXCEPTION 'append_only: what an alarm was stays' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER alarm_is_kept BEFORE UPDATE OR DELETE ON config_alarm
    FOR EACH ROW EXECUTE FUNCTION alarm_is_kept();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON config_alarm
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
