DROP TRIGGER audit_chain ON intermediary_auditrecord;
DROP FUNCTION audit_chain();
DO $$
DECLARE
    name text;
    link text[];
BEGIN
    FOREACH name IN ARRAY ARRAY['margincall', 'defaultcase', 'trade', 'withdrawal', 'creditline', 'chaininstruction',
        'cell', 'commandrequest'] LOOP
        EXECUTE format('DROP TRIGGER only_listed_transitions ON intermediary_%s', name);
    END LOOP;
    FOREACH link SLICE 1 IN ARRAY ARRAY[
        ['callincrement', 'call_id'], ['callevent', 'call_id'], ['defaultcase', 'call_id'], ['defaultcase', 'notice_id'],
        ['defaultcase', 'determination_id'], ['defaultevent', 'case_id'], ['closeoutslice', 'case_id'],
        ['layerloss', 'case_id'], ['layerloss', 'layer_id'], ['recoveryreceipt', 'case_id'],
        ['creditline', 'proposal_id'], ['chaininstruction', 'entry_id'], ['withdrawal', 'entry_id']] LOOP
        EXECUTE format('ALTER TABLE intermediary_%1$s DROP CONSTRAINT %1$s_%2$s_same_cell', link[1], link[2]);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['margincall', 'defaultcase', 'layer', 'proposal'] LOOP
        EXECUTE format('ALTER TABLE intermediary_%1$s DROP CONSTRAINT %1$s_in_cell', name);
    END LOOP;
END $$;
DROP FUNCTION only_listed_transitions();
DROP TABLE intermediary_transition;
DROP TRIGGER default_was_approved ON intermediary_defaultcase;
DROP FUNCTION default_was_approved();
DROP TRIGGER line_was_approved ON intermediary_creditline;
DROP FUNCTION line_was_approved();
DROP TRIGGER refuse_delete ON intermediary_proposal;
DROP TRIGGER proposal_decided_by_another ON intermediary_proposal;
DROP FUNCTION proposal_decided_by_another();
DROP TRIGGER body_matches_hash ON intermediary_proposal;
DROP TRIGGER body_matches_hash ON intermediary_termsversion;
DROP FUNCTION body_matches_hash();
DROP TRIGGER layers_lie_end_to_end ON intermediary_layer;
DROP FUNCTION layers_lie_end_to_end();
DROP TRIGGER instruction_stays_in_its_cell ON intermediary_chaininstruction;
DROP FUNCTION instruction_stays_in_its_cell();
