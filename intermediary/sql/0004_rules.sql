-- Rules of the business that the database enforces by itself.

-- Composite keys of everything else that belongs to a cell.
DO $$
DECLARE
    parent text;
    link text[];
BEGIN
    FOREACH parent IN ARRAY ARRAY['margincall', 'defaultcase', 'layer', 'proposal'] LOOP
        EXECUTE format('ALTER TABLE intermediary_%1$s ADD CONSTRAINT %1$s_in_cell UNIQUE (cell_id, id)', parent);
    END LOOP;
    FOREACH link SLICE 1 IN ARRAY ARRAY[
        ['callincrement', 'call_id', 'margincall'], ['callevent', 'call_id', 'margincall'],
        ['defaultcase', 'call_id', 'margincall'], ['defaultcase', 'notice_id', 'proposal'],
        ['defaultcase', 'determination_id', 'proposal'], ['defaultevent', 'case_id', 'defaultcase'],
        ['closeoutslice', 'case_id', 'defaultcase'], ['layerloss', 'case_id', 'defaultcase'],
        ['layerloss', 'layer_id', 'layer'], ['recoveryreceipt', 'case_id', 'defaultcase'],
        ['creditline', 'proposal_id', 'proposal'], ['chaininstruction', 'entry_id', 'journalentry'],
        ['withdrawal', 'entry_id', 'journalentry']] LOOP
        EXECUTE format('ALTER TABLE intermediary_%1$s ADD CONSTRAINT %1$s_%2$s_same_cell
            FOREIGN KEY (cell_id, %2$s) REFERENCES intermediary_%3$s (cell_id, id)', link[1], link[2], link[3]);
    END LOOP;
END $$;

-- A vault or a retention takes instructions of its own cell only; the house and a series serve many cells.
CREATE FUNCTION instruction_stays_in_its_cell() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    IF EXISTS (SELECT FROM intermediary_chaintarget WHERE id = NEW.target_id AND cell_id <> NEW.cell_id
               AND kind IN ('VAULT', 'RETENTION')) THEN
        RAISE EXCEPTION 'instruction_stays_in_its_cell: target % is not of cell %', NEW.target_id, NEW.cell_id
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF TG_OP = 'UPDATE' AND (NEW.target_id, NEW.cell_id, NEW.seq, NEW.kind, NEW.amount_base_units,
            NEW.required_base_units, NEW.arguments, NEW.entry_id) IS DISTINCT FROM (OLD.target_id, OLD.cell_id, OLD.seq,
            OLD.kind, OLD.amount_base_units, OLD.required_base_units, OLD.arguments, OLD.entry_id) THEN
        RAISE EXCEPTION 'instruction_is_fixed: only its state may change' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER instruction_stays_in_its_cell BEFORE INSERT OR UPDATE ON intermediary_chaininstruction
    FOR EACH ROW EXECUTE FUNCTION instruction_stays_in_its_cell();

-- Layers of a cell lie end to end from zero: no gap, no overlap.
CREATE FUNCTION layers_lie_end_to_end() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
DECLARE
    off record;
BEGIN
    SELECT * INTO off FROM (
        SELECT attach_base_units, coalesce(lag(detach_base_units) OVER (ORDER BY attach_base_units), 0) AS below
        FROM intermediary_layer WHERE cell_id = NEW.cell_id) AS stack
    WHERE attach_base_units <> below LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'layers_lie_end_to_end: a layer attaches at % above a layer that ends at %',
            off.attach_base_units, off.below USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER layers_lie_end_to_end AFTER INSERT OR UPDATE ON intermediary_layer
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION layers_lie_end_to_end();

-- Terms and proposals are what their hash says.
CREATE FUNCTION body_matches_hash() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.hash <> encode(sha256(convert_to(NEW.body, 'UTF8')), 'hex') THEN
        RAISE EXCEPTION 'body_matches_hash: the hash is not that of the body' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER body_matches_hash BEFORE INSERT ON intermediary_termsversion
    FOR EACH ROW EXECUTE FUNCTION body_matches_hash();
CREATE TRIGGER body_matches_hash BEFORE INSERT ON intermediary_proposal
    FOR EACH ROW EXECUTE FUNCTION body_matches_hash();

-- Maker and checker (D11, W1): decided once, in time, by a second person who is not of the client.
CREATE FUNCTION proposal_decided_by_another() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'PROPOSED' THEN
            RAISE EXCEPTION 'proposal_starts_undecided' USING ERRCODE = 'check_violation';
        END IF;
    ELSE
        IF OLD.state <> 'PROPOSED' THEN
            RAISE EXCEPTION 'proposal_decided_once: it is % already', OLD.state USING ERRCODE = 'restrict_violation';
        END IF;
        IF (NEW.id, NEW.kind, NEW.cell_id, NEW.body, NEW.hash, NEW.maker_id, NEW.expires_at)
            IS DISTINCT FROM (OLD.id, OLD.kind, OLD.cell_id, OLD.body, OLD.hash, OLD.maker_id, OLD.expires_at) THEN
            RAISE EXCEPTION 'proposal_is_fixed: an altered proposal is a new one' USING ERRCODE = 'restrict_violation';
        END IF;
        IF NEW.state IN ('APPROVED', 'REJECTED') AND platform_now() > OLD.expires_at THEN
            RAISE EXCEPTION 'proposal_expired at %', OLD.expires_at USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    IF EXISTS (SELECT FROM intermediary_membership m JOIN intermediary_cell c ON c.party_id = m.party_id
               WHERE c.id = NEW.cell_id AND m.user_id IN (NEW.maker_id, NEW.checker_id)) THEN
        RAISE EXCEPTION 'proposal_not_by_the_client' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER proposal_decided_by_another BEFORE INSERT OR UPDATE ON intermediary_proposal
    FOR EACH ROW EXECUTE FUNCTION proposal_decided_by_another();
CREATE TRIGGER refuse_delete BEFORE DELETE ON intermediary_proposal FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- A line, a default and a determination exist only behind an approved proposal that says the same numbers.
CREATE FUNCTION line_was_approved() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM intermediary_proposal p WHERE p.id = NEW.proposal_id AND p.kind = 'CREDIT_LINE'
        AND p.state = 'APPROVED' AND p.cell_id = NEW.cell_id
        AND (p.body::jsonb ->> 'threshold_base_units')::numeric = NEW.threshold_base_units
        AND (p.body::jsonb ->> 'first_loss_base_units')::numeric = NEW.first_loss_base_units
        AND (p.body::jsonb ->> 'tail_base_units')::numeric = NEW.tail_base_units
        AND (p.body::jsonb ->> 'senior_base_units')::numeric = NEW.senior_base_units) THEN
        RAISE EXCEPTION 'line_was_approved: no approved proposal says these numbers' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER line_was_approved BEFORE INSERT OR UPDATE ON intermediary_creditline
    FOR EACH ROW EXECUTE FUNCTION line_was_approved();

CREATE FUNCTION default_was_approved() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM intermediary_proposal WHERE id = NEW.notice_id AND kind = 'DEFAULT_NOTICE'
                   AND state = 'APPROVED' AND cell_id = NEW.cell_id) THEN
        RAISE EXCEPTION 'default_was_approved: no approved default notice' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state IN ('DETERMINED', 'ALLOCATED', 'RECOVERY', 'CLOSED') AND NOT EXISTS (
        SELECT FROM intermediary_proposal p WHERE p.id = NEW.determination_id AND p.kind = 'LOSS_DETERMINATION'
        AND p.state = 'APPROVED' AND p.cell_id = NEW.cell_id
        AND (p.body::jsonb ->> 'net_loss_base_units')::numeric = NEW.loss_base_units + NEW.recoveries_base_units) THEN
        RAISE EXCEPTION 'loss_was_approved: no approved determination says this loss' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER default_was_approved BEFORE INSERT OR UPDATE ON intermediary_defaultcase
    FOR EACH ROW EXECUTE FUNCTION default_was_approved();

-- Only the listed transitions exist (W2).
CREATE TABLE intermediary_transition (
    entity text NOT NULL, before text NOT NULL, after text NOT NULL, PRIMARY KEY (entity, before, after));
INSERT INTO intermediary_transition (entity, before, after) VALUES
    ('margincall', 'ISSUED', 'AGREED'), ('margincall', 'ISSUED', 'PLEDGED'), ('margincall', 'ISSUED', 'SETTLED'),
    ('margincall', 'ISSUED', 'NETTED'), ('margincall', 'ISSUED', 'LAPSED'), ('margincall', 'AGREED', 'PLEDGED'),
    ('margincall', 'AGREED', 'SETTLED'), ('margincall', 'AGREED', 'NETTED'), ('margincall', 'AGREED', 'LAPSED'),
    ('margincall', 'PLEDGED', 'SETTLED'), ('margincall', 'PLEDGED', 'NETTED'), ('margincall', 'PLEDGED', 'LAPSED'),
    ('margincall', 'LAPSED', 'DEFAULT_NOTICE'), ('margincall', 'LAPSED', 'SETTLED'),
    ('defaultcase', 'NOTICE', 'CURED'), ('defaultcase', 'NOTICE', 'ETD_SET'), ('defaultcase', 'ETD_SET', 'REPLACING'),
    ('defaultcase', 'REPLACING', 'DETERMINED'), ('defaultcase', 'DETERMINED', 'ALLOCATED'),
    ('defaultcase', 'ALLOCATED', 'RECOVERY'), ('defaultcase', 'ALLOCATED', 'CLOSED'), ('defaultcase', 'RECOVERY', 'CLOSED'),
    ('trade', 'SUBMITTED', 'AFFIRMED'), ('trade', 'SUBMITTED', 'CANCELLED'), ('trade', 'SUBMITTED', 'REFUSED'),
    ('trade', 'AFFIRMED', 'NOVATED'), ('trade', 'AFFIRMED', 'REFUSED'),
    ('withdrawal', 'REQUESTED', 'INSTRUCTED'), ('withdrawal', 'REQUESTED', 'REFUSED'),
    ('withdrawal', 'INSTRUCTED', 'PAID'), ('withdrawal', 'INSTRUCTED', 'REFUSED'),
    ('creditline', 'ACTIVE', 'EXPIRED'), ('creditline', 'ACTIVE', 'REDUCED'), ('creditline', 'ACTIVE', 'CANCELLED'),
    ('chaininstruction', 'DRAFT', 'BATCHED'), ('chaininstruction', 'BATCHED', 'INCLUDED'),
    ('chaininstruction', 'INCLUDED', 'FINAL'), ('chaininstruction', 'INCLUDED', 'BATCHED'),
    ('chaininstruction', 'INCLUDED', 'FAILED'), ('chaininstruction', 'BATCHED', 'FAILED'),
    ('chaininstruction', 'BATCHED', 'FINAL'),
    ('cell', 'OPEN', 'NO_NEW_RISK'), ('cell', 'NO_NEW_RISK', 'OPEN'), ('cell', 'OPEN', 'DEFAULTED'),
    ('cell', 'NO_NEW_RISK', 'DEFAULTED'), ('cell', 'DEFAULTED', 'CLOSED'), ('cell', 'OPEN', 'CLOSED'),
    ('cell', 'DEFAULTED', 'OPEN'),
    ('commandrequest', 'PENDING', 'DONE'), ('commandrequest', 'PENDING', 'REFUSED');

CREATE FUNCTION only_listed_transitions() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    IF NEW.state <> OLD.state AND NOT EXISTS (
        SELECT FROM intermediary_transition
        WHERE entity = TG_ARGV[0] AND before = OLD.state AND after = NEW.state) THEN
        RAISE EXCEPTION 'transition_not_listed: % from % to %', TG_ARGV[0], OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['margincall', 'defaultcase', 'trade', 'withdrawal', 'creditline', 'chaininstruction',
        'cell', 'commandrequest'] LOOP
        EXECUTE format('CREATE TRIGGER only_listed_transitions BEFORE UPDATE OF state ON intermediary_%1$s
            FOR EACH ROW EXECUTE FUNCTION only_listed_transitions(%1$L)', name);
    END LOOP;
END $$;

-- The audit chain: the database numbers it without gap, links it and hashes it; one writer at a time.
CREATE FUNCTION audit_chain() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
DECLARE
    last intermediary_auditrecord;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('bulkhead.audit'));
    SELECT * INTO last FROM intermediary_auditrecord ORDER BY number DESC LIMIT 1;
    NEW.number := coalesce(last.number, 0) + 1;
    NEW.previous_hash := coalesce(last.hash, repeat('0', 64));
    NEW.hash := encode(sha256(convert_to(
        NEW.previous_hash || NEW.actor || NEW.action || NEW.subject || NEW.payload, 'UTF8')), 'hex');
    RETURN NEW;
END $$;
CREATE TRIGGER audit_chain BEFORE INSERT ON intermediary_auditrecord FOR EACH ROW EXECUTE FUNCTION audit_chain();
