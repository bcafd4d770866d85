package org.metaflowmaps.steering.reward;

import java.util.List;
import org.metaflowmaps.runtime.internal.Texts;

/**
 * The arguments of a reward's text, such as "0.5,1" of {@code blur:0.5,1}. Exceptions name the text, the argument and
 * the form.
 */
final class RewardArguments {
    private final String text;
    private final String form;
    private final String arguments;
    private final List<String> parts;

    /**
     * Splits arguments.
     *
     * @param text the whole reward, for messages
     * @param form such as {@code blur:DEVIATION,NOISE}
     * @param arguments the text after the colon; empty for none
     */
    RewardArguments(String text, String form, String arguments) {
        this.text = text;
        this.form = form;
        this.arguments = arguments;
        this.parts = arguments.isBlank() ? List.of() : List.of(arguments.split(",", -1));
    }

    /** Returns the whole text, for messages. */
    String text() {
        return text;
    }

    /** Returns all arguments as one text; throws if it is empty. */
    String whole() {
        if (arguments.isBlank()) {
            throw refusal("has no argument", "one");
        }
        return arguments.strip();
    }

    /** Throws for a wrong number of arguments. */
    RewardArguments count(int least, int most) {
        if (parts.size() < least || parts.size() > most) {
            throw refusal(
                    "has " + parts.size() + " arguments",
                    least == most
                            ? Integer.toString(least)
                            : least + (most < Integer.MAX_VALUE ? " to " + most : " or more"));
        }
        return this;
    }

    /** Returns a whole number of at least {@code least}. */
    int integer(int index, String name, int least) {
        try {
            int value = Integer.parseInt(parts.get(index).strip());
            if (value >= least) {
                return value;
            }
        } catch (NumberFormatException e) {
            // Rejected below as a number that is too small.
        }
        throw refusal(name + " is " + Texts.quote(parts.get(index).strip()), "a whole number of at least " + least);
    }

    /** Returns a finite number. */
    double number(int index, String name) {
        try {
            double value = Double.parseDouble(parts.get(index).strip());
            if (Double.isFinite(value)) {
                return value;
            }
        } catch (NumberFormatException e) {
            // Rejected below as an infinite number.
        }
        throw refusal(name + " is " + Texts.quote(parts.get(index).strip()), "a finite number");
    }

    /** Returns a finite number above 0. */
    double positive(int index, String name) {
        double value = number(index, name);
        if (value > 0) {
            return value;
        }
        throw refusal(name + " is " + value, "a number above 0");
    }

    /** Returns the finite numbers from an argument on. */
    double[] numbers(int from, String name) {
        double[] values = new double[parts.size() - from];
        for (int i = 0; i < values.length; i++) {
            values[i] = number(from + i, name + (i + 1));
        }
        return values;
    }

    /** Returns the exception for a fault. */
    IllegalArgumentException refusal(String fault, String expected) {
        return new IllegalArgumentException(
                "reward " + Texts.quote(text) + ": " + fault + ", expected " + expected + "; the form is " + form);
    }
}
