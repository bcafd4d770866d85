package org.metaflowmaps.steering.sampler;

import com.google.common.base.Preconditions;
import org.metaflowmaps.models.sampler.Solver;
import org.metaflowmaps.steering.value.Coefficient;

/**
 * The dynamics of a steered sampler from noise to data. With the exact drift both kinds give the same law (method
 * §6.1).
 */
public sealed interface Dynamics {
    /** The paper's dynamics: Euler steps of the flow's ODE. */
    Dynamics ODE = new Ode(Solver.EULER);

    /** Euler-Maruyama steps with the paper's limit of the coefficient. */
    Dynamics SDE = new Sde(Coefficient.PAPER, false);

    /**
     * dx/dt = b + c·∇V.
     *
     * @param solver Heun's evaluates twice per step, with the same draws; its last step is an Euler step, because at
     *     time 1 there is no posterior to estimate with
     */
    record Ode(Solver solver) implements Dynamics {
        /** Checks for null. */
        public Ode {
            Preconditions.checkNotNull(solver, "ODE: the solver is null");
        }
    }

    /**
     * dX = [2b - X/t + 2c·∇V]dt + √(2c)dB by Euler-Maruyama, the memoryless diffusion of the flow (method §6.1).
     *
     * @param coefficient c of the diffusion; must equal the estimator's
     * @param lastNoise true to add noise in the last step too, as in the public code; the samples then contain noise of
     *     variance 2c·Δt
     */
    record Sde(Coefficient coefficient, boolean lastNoise) implements Dynamics {
        /** Checks for null. */
        public Sde {
            Preconditions.checkNotNull(coefficient, "SDE: the coefficient is null");
        }
    }
}
