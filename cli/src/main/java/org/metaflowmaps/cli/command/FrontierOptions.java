package org.metaflowmaps.cli.command;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.steering.evaluation.FrontierCell;
import org.metaflowmaps.steering.evaluation.FrontierMethod;
import org.metaflowmaps.steering.evaluation.FrontierSettings;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Option;
import picocli.CommandLine.TypeConversionException;

/** The size of {@code mfm evaluate frontier}: methods, their settings, and numbers of samples. */
final class FrontierOptions {
    private static final int MOST = 1_000_000;
    private static final Size FULL = new Size(
            128,
            40,
            20_000,
            List.of(1, 2, 4, 8, 16, 32),
            List.of(1, 2, 4, 8),
            List.of(16, 64, 256),
            List.of(4, 16, 64),
            List.of(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000));
    private static final Size QUICK =
            new Size(16, 5, 256, List.of(1, 4), List.of(1, 2), List.of(16), List.of(4), List.of(1, 4, 16, 64));

    /** Defaults of all options. */
    private record Size(
            int images,
            int steps,
            int pool,
            List<Integer> draws,
            List<Integer> search,
            List<Integer> tree,
            List<Integer> smc,
            List<Integer> bestOf) {}

    @Option(
            names = "--quick",
            description =
                    "A small study of a minute, to see whether everything works: 16 images, 5 steps. Other options"
                            + " still apply.")
    private boolean quick;

    @Option(
            names = "--methods",
            paramLabel = "METHOD",
            split = ",",
            converter = Converter.class,
            description = "Methods to compare: base, mfm-g, mfm-g-rescaled, mfm-gf, dps, search, tree, smc, best-of."
                    + " Default: all.")
    private List<FrontierMethod> methods = new ArrayList<>();

    @Option(
            names = "--images",
            paramLabel = "N",
            description = "Images of each method, except base and best-of. Default: 128.")
    private @Nullable Integer images;

    @Option(
            names = "--steps",
            paramLabel = "K",
            description = "Steps of steered samplers, the greedy search and the particle filter. Default: 40.")
    private @Nullable Integer steps;

    @Option(
            names = "--pool",
            paramLabel = "P",
            description = "Samples without steering, for base and best-of. Default: 20000.")
    private @Nullable Integer pool;

    @Option(
            names = "--draws",
            paramLabel = "N",
            split = ",",
            description = "Posterior draws of the mfm methods, one measurement each. Default: 1,2,4,8,16,32.")
    private List<Integer> draws = new ArrayList<>();

    @Option(
            names = "--search",
            paramLabel = "M",
            split = ",",
            description = "Particles of the greedy search. Default: 1,2,4,8.")
    private List<Integer> search = new ArrayList<>();

    @Option(
            names = "--tree",
            paramLabel = "S",
            split = ",",
            description = "Simulations of the tree search. Default: 16,64,256.")
    private List<Integer> tree = new ArrayList<>();

    @Option(
            names = "--smc",
            paramLabel = "M",
            split = ",",
            description = "Particles of the particle filter. Default: 4,16,64.")
    private List<Integer> smc = new ArrayList<>();

    @Option(
            names = "--best-of",
            paramLabel = "N",
            split = ",",
            description = "N of best-of-N, at most the pool. Default: 1, 2, 4 and so on to 512, and 1000.")
    private List<Integer> bestOf = new ArrayList<>();

    @Option(
            names = "--particle-draws",
            paramLabel = "N",
            description = "Posterior draws of each state in searches and the particle filter. Default:"
                    + " ${DEFAULT-VALUE}.")
    private int particleDraws = 4;

    @Option(names = "--seed", paramLabel = "N", description = "Seed of the noise. Default: ${DEFAULT-VALUE}.")
    private long seed = 1;

    private Size size() {
        return quick ? QUICK : FULL;
    }

    /**
     * Returns the settings.
     *
     * @throws IllegalArgumentException if an option is out of range
     */
    FrontierSettings settings(double strength, String networks, String machine) {
        Size size = size();
        return new FrontierSettings(
                given("--images", images, size.images, 2),
                given("--steps", steps, size.steps, 1),
                strength,
                given("--particle-draws", particleDraws, particleDraws, 1),
                given("--pool", pool, size.pool, given("--images", images, size.images, 2)),
                FrontierSettings.PAPER_WEIGHTS,
                seed,
                networks,
                machine);
    }

    private static int given(String option, @Nullable Integer value, int otherwise, int least) {
        int chosen = value == null ? otherwise : value;
        if (chosen < least || chosen > MOST) {
            throw new IllegalArgumentException(
                    option + " " + chosen + " is out of range: give " + least + " to " + MOST);
        }
        return chosen;
    }

    /**
     * Returns the cells in the order of the table.
     *
     * @throws IllegalArgumentException if a setting is out of range
     */
    List<FrontierCell> cells() {
        Size size = size();
        int most = given("--pool", pool, size.pool, 1);
        List<FrontierCell> cells = new ArrayList<>();
        for (FrontierMethod method : FrontierMethod.values()) {
            if (!methods.isEmpty() && !methods.contains(method)) {
                continue;
            }
            List<Integer> values = switch (method) {
                case BASE, DPS -> List.of(1);
                case MFM_G, MFM_G_RESCALED, MFM_GF -> list("--draws", draws, size.draws, MOST);
                case SEARCH -> list("--search", search, size.search, MOST);
                case TREE -> list("--tree", tree, size.tree, MOST);
                case SMC -> list("--smc", smc, size.smc, MOST);
                case BEST_OF -> list("--best-of", bestOf, size.bestOf, most);
            };
            values.stream().distinct().sorted().forEach(value -> cells.add(new FrontierCell(method, value)));
        }
        return cells;
    }

    private static List<Integer> list(String option, List<Integer> given, List<Integer> otherwise, int most) {
        for (int value : given) {
            if (value < 1 || value > most) {
                throw new IllegalArgumentException(option + " " + value + " is out of range: give 1 to " + most
                        + (option.equals("--best-of") ? ", the samples in the --pool" : ""));
            }
        }
        return given.isEmpty()
                ? otherwise.stream().filter(value -> value <= most).toList()
                : given;
    }

    /** Parses a method's name. */
    static final class Converter implements ITypeConverter<FrontierMethod> {
        @Override
        public FrontierMethod convert(String text) {
            return Arrays.stream(FrontierMethod.values())
                    .filter(method -> method.toString().equals(text))
                    .findFirst()
                    .orElseThrow(() -> new TypeConversionException(
                            "expected one of " + Arrays.toString(FrontierMethod.values()) + " but was '" + text + "'"));
        }
    }
}
