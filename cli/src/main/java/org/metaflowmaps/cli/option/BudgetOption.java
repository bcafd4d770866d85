package org.metaflowmaps.cli.option;

import java.util.List;
import java.util.regex.Pattern;
import org.metaflowmaps.runtime.internal.Suggestions;
import org.metaflowmaps.steering.particle.Budget;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Option;
import picocli.CommandLine.TypeConversionException;

/** {@code --budget}, the most that a run of steering may spend. */
public final class BudgetOption {
    private static final List<String> KINDS = List.of("nfe", "seconds");
    private static final Pattern COMMA = Pattern.compile(",");

    @Option(
            names = "--budget",
            paramLabel = "LIMIT",
            converter = Converter.class,
            description = "The most to spend: nfe=N, network evaluations of each sample, counted as in the paper;"
                    + " seconds=S, for all samples together, without loading; or both, separated by a comma.")
    private Budget budget = Budget.NONE;

    /** Returns the limit; its seconds are those of the whole run. */
    public Budget get() {
        return budget;
    }

    /** Returns true if a limit was given. */
    public boolean isGiven() {
        return !budget.equals(Budget.NONE);
    }

    /** Parses {@code nfe=N}, {@code seconds=S} or both. */
    static final class Converter implements ITypeConverter<Budget> {
        @Override
        @SuppressWarnings("UnusedException")
        public Budget convert(String text) {
            long evaluations = Budget.NONE.evaluations();
            double seconds = Budget.NONE.seconds();
            for (String part : COMMA.split(text, -1)) {
                int equals = part.indexOf('=');
                String kind = part.substring(0, Math.max(0, equals)).strip();
                if (!KINDS.contains(kind)) {
                    String near = equals < 0 ? "" : Suggestions.didYouMean(kind, KINDS);
                    throw new TypeConversionException("'" + text + "' is not a budget"
                            + (near.isEmpty() ? ": write nfe=N or seconds=S, such as nfe=5000" : near));
                }
                String value = part.substring(equals + 1).strip();
                try {
                    if (kind.equals("nfe")) {
                        evaluations = Long.parseLong(value);
                    } else {
                        seconds = Double.parseDouble(value);
                    }
                } catch (NumberFormatException e) {
                    throw new TypeConversionException("'" + value + "' in '" + text + "' is not "
                            + (kind.equals("nfe") ? "a whole number" : "a number"));
                }
            }
            try {
                return new Budget(evaluations, seconds);
            } catch (IllegalArgumentException e) {
                throw new TypeConversionException(
                        "'" + text + "' is out of range: give at least 1 evaluation, and more than 0 seconds");
            }
        }
    }
}
