package org.metaflowmaps.training;

/**
 * How far a run has come.
 *
 * @param step steps done, from which the data's position follows
 * @param skipped those of them that changed nothing
 * @param skippedInRow those skipped since the last one that was taken
 * @param replaced items that took a damaged one's place
 */
public record Progress(long step, long skipped, int skippedInRow, long replaced) {}
