package org.metaflowmaps.training;

/**
 * The progress of a run.
 *
 * @param step steps done; determines the data's position
 * @param skipped skipped steps among them
 * @param skippedInRow steps skipped since the last update
 * @param replaced damaged items that were replaced
 */
public record Progress(long step, long skipped, int skippedInRow, long replaced) {}
