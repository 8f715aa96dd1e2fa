DROP TRIGGER layer_and_slice_share_a_cell ON intermediary_layer;
DROP TRIGGER layer_and_slice_share_a_cell ON bonds_slice;
DROP FUNCTION layer_and_slice_share_a_cell();
DROP INDEX one_layer_a_slice;
ALTER TABLE bonds_sliceact DROP CONSTRAINT sliceact_movement_same_cell, DROP CONSTRAINT sliceact_notice_same_cell;
