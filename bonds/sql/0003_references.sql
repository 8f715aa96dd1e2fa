-- The references from one cell into another that 0002 left open.
ALTER TABLE bonds_sliceact
    ADD CONSTRAINT sliceact_notice_same_cell
        FOREIGN KEY (cell_id, notice_id) REFERENCES intermediary_chaininstruction (cell_id, id),
    ADD CONSTRAINT sliceact_movement_same_cell
        FOREIGN KEY (cell_id, movement_id) REFERENCES intermediary_chaininstruction (cell_id, id);

-- A tail layer may name its slice before the series is offered, so a foreign key cannot hold the two together: one layer
-- a slice, and whichever of the two comes second must be of the other's cell.
CREATE UNIQUE INDEX one_layer_a_slice ON intermediary_layer (slice_id);
CREATE FUNCTION layer_and_slice_share_a_cell() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    IF TG_TABLE_NAME = 'bonds_slice' AND EXISTS (
            SELECT FROM intermediary_layer WHERE slice_id = NEW.id AND cell_id <> NEW.cell_id)
        OR TG_TABLE_NAME = 'intermediary_layer' AND EXISTS (
            SELECT FROM bonds_slice WHERE id = (to_jsonb(NEW) ->> 'slice_id')::uuid AND cell_id <> NEW.cell_id) THEN
        RAISE EXCEPTION 'layer_and_slice_share_a_cell: the slice of a layer covers the same relationship'
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER layer_and_slice_share_a_cell AFTER INSERT OR UPDATE ON bonds_slice
    FOR EACH ROW EXECUTE FUNCTION layer_and_slice_share_a_cell();
CREATE CONSTRAINT TRIGGER layer_and_slice_share_a_cell AFTER INSERT OR UPDATE ON intermediary_layer
    FOR EACH ROW EXECUTE FUNCTION layer_and_slice_share_a_cell();
