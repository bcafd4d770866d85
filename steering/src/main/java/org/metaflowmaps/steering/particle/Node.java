package org.metaflowmaps.steering.particle;

import org.jspecify.annotations.Nullable;

/** A node of a search tree: a noisy state, and what is known of the scores below it. */
final class Node {
    /** The tensor of states, and the row in it, with this node's state. */
    final int tensor;

    final int row;
    final int level;

    private final @Nullable Node parent;
    private Node @Nullable [] children;
    /** Largest score below; before a visit, that of the draw it was made from. */
    private double value;

    private int visits = 1;
    /** True if no leaf below can be expanded. */
    private boolean complete;

    /**
     * Makes a node without children.
     *
     * @param score of the draw it was made from
     * @param isLast true if the state is clean, so that there is nothing to draw
     */
    Node(@Nullable Node parent, int tensor, int row, double score, boolean isLast) {
        this.parent = parent;
        this.tensor = tensor;
        this.row = row;
        this.level = parent == null ? 0 : parent.level + 1;
        this.value = score;
        this.complete = isLast;
    }

    boolean isComplete() {
        return complete;
    }

    /** Returns the leaf below that the UCT rule selects; this node must not be complete. */
    Node leaf(double exploration) {
        Node node = this;
        while (node.children != null) {
            node = node.selected(node.children, exploration);
        }
        return node;
    }

    private Node selected(Node[] from, double exploration) {
        double low = Double.POSITIVE_INFINITY;
        double high = Double.NEGATIVE_INFINITY;
        for (Node child : from) {
            if (child.value > Double.NEGATIVE_INFINITY) {
                low = Math.min(low, child.value);
            }
            high = Math.max(high, child.value);
        }
        double logVisits = Math.log(visits);
        Node best = null;
        double most = Double.NEGATIVE_INFINITY;
        for (Node child : from) {
            if (!child.complete) {
                double scaled = child.value == Double.NEGATIVE_INFINITY
                        ? 0
                        : high > low ? (child.value - low) / (high - low) : 1;
                double rank = scaled + exploration * Math.sqrt(logVisits / child.visits);
                if (best == null || rank > most) {
                    best = child;
                    most = rank;
                }
            }
        }
        if (best == null) {
            throw new IllegalStateException("search tree: all children are complete");
        }
        return best;
    }

    /** Adds children to this leaf and backs their largest score up. */
    void expand(Node[] made) {
        children = made;
        // What is drawn here replaces the score that stood in for it.
        value = Double.NEGATIVE_INFINITY;
        double highest = Double.NEGATIVE_INFINITY;
        for (Node child : made) {
            highest = Math.max(highest, child.value);
        }
        for (Node node = this; node != null; node = node.parent) {
            node.value = Math.max(node.value, highest);
            node.visits++;
            node.complete = node.allComplete();
        }
    }

    private boolean allComplete() {
        Node[] all = children;
        if (all == null) {
            return complete;
        }
        for (Node child : all) {
            if (!child.complete) {
                return false;
            }
        }
        return true;
    }
}
