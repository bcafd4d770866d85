package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.function.IntFunction;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.BudgetOption;
import org.metaflowmaps.cli.option.DrawsOption;
import org.metaflowmaps.cli.option.ProfileOption;
import org.metaflowmaps.cli.option.ProfiledSampling;
import org.metaflowmaps.cli.report.RewardTable;
import org.metaflowmaps.models.sampler.SamplingListener;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.steering.particle.Budget;
import org.metaflowmaps.steering.sampler.CorrectionScale;
import org.metaflowmaps.steering.sampler.Dynamics;
import org.metaflowmaps.steering.sampler.Schedule;
import org.metaflowmaps.steering.sampler.SteeredResult;
import org.metaflowmaps.steering.sampler.SteeredSampler;
import org.metaflowmaps.steering.value.Coefficient;
import org.metaflowmaps.steering.value.NoSteering;
import org.metaflowmaps.steering.value.ValueGradient;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code mfm steer}. */
@Command(
        name = "steer",
        mixinStandardHelpOptions = true,
        description = "Draw images with a high reward: one path each, whose drift is corrected by the gradient of the"
                + " value. Prints the mean reward before and after, from the same noise.")
public final class SteerCommand implements Callable<Integer> {
    /** The dynamics. */
    enum Kind {
        ode,
        sde
    }

    /** The change of the correction's norm. */
    enum Norm {
        none(CorrectionScale.Mode.NONE),
        rescale(CorrectionScale.Mode.RESCALE),
        clip(CorrectionScale.Mode.CLIP);

        private final CorrectionScale.Mode mode;

        Norm(CorrectionScale.Mode mode) {
            this.mode = mode;
        }
    }

    /** Memory of a pass with gradients, which keeps every layer's activations, in passes without. */
    static final int GRADIENT_MEMORY = 16;

    private static final int STEPS = 100;

    @Mixin
    private final SteeringRun run = new SteeringRun("steered.png");

    @Option(
            names = "--method",
            paramLabel = "METHOD",
            converter = SteeringMethod.Converter.class,
            description = "${COMPLETION-CANDIDATES}. mfm-g, dps and look-ahead need a reward with gradients; dps and"
                    + " look-ahead make no draws and stay biased. Default: ${DEFAULT-VALUE}.")
    private SteeringMethod method = SteeringMethod.MFM_G;

    @Mixin
    private final DrawsOption draws = new DrawsOption();

    @Option(
            names = "--steps",
            paramLabel = "K",
            description = "Steps of a path; a --budget may make them fewer and longer. Default: 100, or as many as a"
                    + " --budget nfe=N pays for.")
    private @Nullable Integer steps;

    @Mixin
    private final BudgetOption budget = new BudgetOption();

    @Option(names = "--dynamics", description = "${COMPLETION-CANDIDATES}. Default: ${DEFAULT-VALUE}.")
    private Kind dynamics = Kind.ode;

    @Option(
            names = "--solver",
            description =
                    "For --dynamics ode: ${COMPLETION-CANDIDATES}. Heun's steps cost twice as much. Default: euler.")
    private SampleCommand.@Nullable Step solver;

    @Option(
            names = "--renormalise",
            description = "Norm of the correction: ${COMPLETION-CANDIDATES}; rescale makes it --factor times the base"
                    + " drift's norm, as in the paper for images, clip limits it to that. Default: ${DEFAULT-VALUE},"
                    + " the exact one.")
    private Norm norm = Norm.none;

    @Option(
            names = "--factor",
            paramLabel = "X",
            description = "For --renormalise: the norm as a multiple of the base drift's. Default: ${DEFAULT-VALUE}.")
    private double factor = 1;

    @Option(
            names = "--guidance-scale",
            paramLabel = "G",
            description = "Multiplies the correction; 1 is exact. Default: ${DEFAULT-VALUE}.")
    private double scale = 1;

    @Option(
            names = "--coefficient",
            paramLabel = "C",
            description = "Limit of the gradient's factor (1 - t)/t. Default: ${DEFAULT-VALUE}.")
    private double coefficient = 25;

    @Option(names = "--start", paramLabel = "T", description = "First time. Default: ${DEFAULT-VALUE}.")
    private double start = 0.01;

    @Mixin
    private final ProfileOption profile = new ProfileOption();

    @Option(names = "--compare", description = "Also write the samples without steering.")
    private boolean compare;

    @Override
    public Integer call() throws IOException {
        run.check();
        if (method.hasDraws()) {
            draws.check();
        }
        if (!(start > 0)) {
            throw new IllegalArgumentException(
                    "--start " + start + " is out of range: give a time above 0 and below 1");
        }
        TimeGrid.linspace(start, steps == null ? 1 : steps);
        CorrectionScale correction = new CorrectionScale(scale, norm.mode, factor);
        Coefficient limit = new Coefficient(coefficient);
        Dynamics path = path(limit);
        try (SteeringInputs inputs = run.open();
                GracefulStop stop = new GracefulStop(inputs::stop)) {
            run.requireRoom(inputs, compare);
            ValueGradient estimator = inputs.captured(method.estimator(inputs, draws, limit));
            IntFunction<SteeredSampler> steered = count -> sampler(inputs, estimator, path, correction, count);
            SteeredSampler sampler = steps == null && budget.get().isCounted()
                    ? SteeredSampler.within(budget.get().evaluations(), inputs.first(), steered)
                    : steered.apply(steps == null ? STEPS : steps);
            SteeredSampler unsteered = sampler(
                    inputs,
                    inputs.captured(new NoSteering(inputs.drift())),
                    path,
                    CorrectionScale.EXACT,
                    sampler.grid().steps());
            RewardTable table = new RewardTable(run.terminal());
            // Open the window before the unsteered samples: it keeps them out of the profile.
            try (ProfiledSampling profiled = profile.sampling()) {
                SteeringInputs.Drawn before =
                        draw(inputs, "unsteered", unsteered, Budget.NONE, table, UnaryOperator.identity());
                SteeringInputs.Drawn after =
                        draw(inputs, method.toString(), sampler, budget.get(), table, profiled::with);
                run.write(inputs, after, compare ? before : null, method.toString());
            }
        }
        return 0;
    }

    private SteeredSampler sampler(
            SteeringInputs inputs, ValueGradient estimator, Dynamics path, CorrectionScale correction, int count) {
        return new SteeredSampler(
                Schedule.always(estimator),
                TimeGrid.linspace(start, count),
                path,
                correction,
                Optional.of(inputs.tilt()),
                false);
    }

    private Dynamics path(Coefficient limit) {
        if (dynamics == Kind.ode) {
            return new Dynamics.Ode((solver == null ? SampleCommand.Step.euler : solver).solver());
        }
        if (solver != null) {
            throw new IllegalArgumentException(
                    "--solver " + solver + " is for --dynamics ode, but the dynamics are sde");
        }
        return new Dynamics.Sde(limit, false);
    }

    private SteeringInputs.Drawn draw(
            SteeringInputs inputs,
            String name,
            SteeredSampler sampler,
            Budget limit,
            RewardTable table,
            UnaryOperator<SamplingListener> profiled) {
        int atOnce = method.hasDraws() ? draws.atOnce() : 1;
        int each = sampler.grid().steps();
        SteeringInputs.Drawn drawn =
                inputs.draw(name, 1, GRADIENT_MEMORY * atOnce, each, limit, (noise, condition, share, listener) -> {
                    SteeredResult result = sampler.sample(noise, condition, share, profiled.apply(listener));
                    return new SteeringInputs.Batch(
                            result.samples(), result.rewards().orElseThrow(), result.evaluations());
                });
        table.row(name, drawn.rewards(), drawn.evaluations(), drawn.seconds());
        return drawn;
    }
}
