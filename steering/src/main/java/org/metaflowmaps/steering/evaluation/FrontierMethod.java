package org.metaflowmaps.steering.evaluation;

/** A method of {@link SteeringFrontier}, and what its setting counts. */
public enum FrontierMethod {
    /** Samples without steering. */
    BASE("base", ""),
    /** The gradient of V̂ from N draws ({@code MonteCarloGradient}). */
    MFM_G("mfm-g", "N"),
    /** The same with a correction of the base drift's norm, the paper's setting for images. */
    MFM_G_RESCALED("mfm-g-rescaled", "N"),
    /** The gradient-free estimate from N draws ({@code GradientFree}, centred on the draws' mean). */
    MFM_GF("mfm-gf", "N"),
    /** Diffusion posterior sampling. */
    DPS("dps", ""),
    /** The greedy search with M particles. */
    SEARCH("search", "M"),
    /** The tree search with S simulations. */
    TREE("tree", "S"),
    /** One particle, drawn by the weights, of a particle filter with M. */
    SMC("smc", "M"),
    /** The best of N samples without steering. */
    BEST_OF("best-of", "N");

    private final String text;
    private final String letter;

    FrontierMethod(String text, String letter) {
        this.text = text;
        this.letter = letter;
    }

    /** Returns the letter of the setting; empty for a method without one. */
    public String letter() {
        return letter;
    }

    /** Returns true if the method is evaluated on the pool of samples without steering. */
    boolean isOfPool() {
        return this == BASE || this == BEST_OF;
    }

    /** Returns the name in tables and on the command line. */
    @Override
    public String toString() {
        return text;
    }
}
