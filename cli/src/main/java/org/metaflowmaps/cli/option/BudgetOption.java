package org.metaflowmaps.cli.option;

import com.google.common.base.Splitter;
import java.util.List;
import org.metaflowmaps.runtime.internal.Suggestions;
import org.metaflowmaps.steering.particle.Budget;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Option;
import picocli.CommandLine.TypeConversionException;

/** {@code --budget}, the most that a run of steering may spend. */
public final class BudgetOption {
    private static final List<String> KINDS = List.of("nfe", "seconds");

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
        public Budget convert(String text) {
            long evaluations = Budget.NONE.evaluations();
            double seconds = Budget.NONE.seconds();
            for (String part : Splitter.on(',').split(text)) {
                List<String> words = Splitter.on('=').limit(2).splitToList(part);
                String kind = words.getFirst().strip();
                if (words.size() < 2 || !KINDS.contains(kind)) {
                    String near = words.size() < 2 ? "" : Suggestions.didYouMean(kind, KINDS);
                    throw new TypeConversionException("'" + text + "' is not a budget"
                            + (near.isEmpty() ? ": write nfe=N or seconds=S, such as nfe=5000" : near));
                }
                try {
                    if (kind.equals("nfe")) {
                        evaluations = Long.parseLong(words.getLast().strip());
                    } else {
                        seconds = Double.parseDouble(words.getLast().strip());
                    }
                } catch (NumberFormatException e) {
                    throw new TypeConversionException("'" + words.getLast() + "' in '" + text + "' is not "
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
