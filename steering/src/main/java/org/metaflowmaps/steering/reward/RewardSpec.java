package org.metaflowmaps.steering.reward;

import com.google.common.base.Preconditions;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.internal.Suggestions;
import org.metaflowmaps.runtime.internal.Texts;

/**
 * A reward as text, such as {@code class:3} or {@code blur:1.5,0.1}, for commands and configurations; {@link #forms}
 * lists all kinds.
 *
 * <p>A sum joins terms by " + ". A term is {@code WEIGHT*REWARD@MEAN,SD}: its score is standardised by the mean and
 * standard deviation of base samples, then multiplied by the weight. Without {@code @MEAN,SD} it is not standardised;
 * without {@code WEIGHT*} the weight is 1. An example is {@code 2*class:3@-4.1,1.2 + brightness@0.28,0.1}.
 */
public final class RewardSpec {
    private static final String NUMBER = "[-+]?(?:[0-9]+\\.?[0-9]*|\\.[0-9]+)(?:[eE][-+]?[0-9]+)?";
    private static final Pattern TERM =
            Pattern.compile("(?:(" + NUMBER + ")\\*)?(.*?)(?:@(" + NUMBER + "),(" + NUMBER + "))?", Pattern.DOTALL);

    private final String text;
    private final List<Term> terms;

    /** What a reward needs besides its text. */
    public enum Input {
        /** Nothing. */
        NONE,
        /** The context's classifier. */
        CLASSIFIER,
        /** The context's image, which the reward observes. */
        IMAGE,
        /** The context's texts. */
        TEXT
    }

    private RewardSpec(String text, List<Term> terms) {
        this.text = text;
        this.terms = terms;
    }

    /** One reward, with its optional numbers in a sum. */
    private record Term(
            RewardKind kind,
            RewardKind.Maker maker,
            @Nullable String weight,
            @Nullable String mean,
            @Nullable String sd) {
        boolean isPlain() {
            return weight == null && mean == null;
        }

        WeightedSum.Term open(RewardContext context) throws IOException {
            Reward reward = maker.make(context);
            try {
                return new WeightedSum.Term(reward, number(weight, 1), number(mean, 0), number(sd, 1));
            } catch (RuntimeException e) {
                reward.close();
                throw e;
            }
        }

        static double number(@Nullable String text, double otherwise) {
            return text == null ? otherwise : Double.parseDouble(text);
        }
    }

    /**
     * Parses a reward and checks the arguments that do not depend on the samples.
     *
     * @throws IllegalArgumentException for an unknown kind or a wrong argument; the message lists the allowed ones
     */
    public static RewardSpec parse(String text) {
        Preconditions.checkNotNull(text, "reward: the text is null");
        List<Term> terms = new ArrayList<>();
        for (String part : text.split("\\s\\+\\s", -1)) {
            terms.add(term(part.strip()));
        }
        return new RewardSpec(text.strip(), terms);
    }

    private static Term term(String text) {
        Matcher match = TERM.matcher(text);
        Preconditions.checkArgument(match.matches(), "reward %s is not readable", Texts.quote(text));
        String weight = match.group(1);
        String sd = match.group(4);
        Preconditions.checkArgument(
                weight == null || Term.number(weight, 1) != 0,
                "reward %s: the weight is 0, expected another number: leave the term out",
                Texts.quote(text));
        Preconditions.checkArgument(
                Term.number(sd, 1) > 0,
                "reward %s: the standard deviation is %s, expected a number above 0",
                Texts.quote(text),
                sd);
        String reward = match.group(2);
        int colon = reward.indexOf(':');
        RewardKind kind = kind(reward, colon);
        RewardKind.Maker maker = kind.reader()
                .read(new RewardArguments(reward, kind.form(), colon < 0 ? "" : reward.substring(colon + 1)));
        return new Term(kind, maker, weight, match.group(3), sd);
    }

    private static RewardKind kind(String text, int colon) {
        String word = (colon < 0 ? text : text.substring(0, colon)).strip();
        RewardKind kind = RewardKind.ALL.get(word);
        if (kind == null) {
            throw new IllegalArgumentException("reward " + Texts.quote(text) + " is not known"
                    + Suggestions.didYouMean(word, RewardKind.ALL.keySet()).replaceFirst("^$", ".")
                    + " The forms are "
                    + String.join(", ", RewardKind.forms()));
        }
        return kind;
    }

    /** Returns true if a term needs this input in its {@link RewardContext}. */
    public boolean needs(Input input) {
        return terms.stream().anyMatch(term -> term.kind().input() == input);
    }

    /** Returns one line for each kind: its form and meaning. */
    public static List<String> forms() {
        return RewardKind.ALL.values().stream()
                .map(kind -> kind.form() + "  " + kind.meaning())
                .toList();
    }

    /**
     * Makes the reward.
     *
     * @param context the inputs that the text does not contain
     * @return owned by the caller
     * @throws IOException if a file cannot be read
     * @throws IllegalArgumentException if the context is incomplete or does not fit
     */
    public Reward open(RewardContext context) throws IOException {
        if (terms.size() == 1 && terms.getFirst().isPlain()) {
            return terms.getFirst().maker().make(context);
        }
        List<WeightedSum.Term> opened = new ArrayList<>();
        try {
            for (Term term : terms) {
                opened.add(term.open(context));
            }
            return new WeightedSum(opened);
        } catch (IOException | RuntimeException e) {
            opened.forEach(term -> term.reward().close());
            throw e;
        }
    }

    /** Returns the text that was parsed. */
    @Override
    public String toString() {
        return text;
    }
}
