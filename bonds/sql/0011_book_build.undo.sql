DROP TRIGGER only_listed_transitions ON bonds_allocation;
DELETE FROM intermediary_transition WHERE entity IN ('offering', 'allocation')
    OR (entity, before, after) IN (('bondorder', 'PLACED', 'REVEALED'), ('bondorder', 'PLACED', 'UNREVEALED'),
        ('bondorder', 'PLACED', 'BARRED'), ('bondorder', 'REVEALED', 'BARRED'), ('bondorder', 'REVEALED', 'ALLOCATED'),
        ('bondorder', 'REVEALED', 'UNFILLED'), ('bondorder', 'UNFILLED', 'ALLOCATED'));
INSERT INTO intermediary_transition (entity, before, after) VALUES
    ('bondorder', 'PLACED', 'ALLOCATED'), ('bondorder', 'PLACED', 'UNFILLED');
CREATE OR REPLACE FUNCTION layer_of_a_slice_is_fixed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.attach_base_units, NEW.detach_base_units, NEW.principal_base_units)
        IS DISTINCT FROM (OLD.attach_base_units, OLD.detach_base_units, OLD.principal_base_units) THEN
        RAISE EXCEPTION 'layer_of_a_slice_is_fixed' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
DROP TRIGGER allocation_is_fixed ON bonds_allocation;
ALTER TABLE bonds_allocation DROP CONSTRAINT paid_allocation_is_paid_in_full;
DROP TRIGGER bids_are_sealed_until_the_close ON bonds_order;
DROP TRIGGER offering_is_what_was_announced ON bonds_offering;
DROP TRIGGER offered_class_is_fixed ON bonds_offeredclass;
DROP FUNCTION bids_are_sealed_until_the_close();
DROP FUNCTION offering_is_what_was_announced();
DROP FUNCTION offered_class_is_fixed();
DROP FUNCTION allocation_is_fixed();
